"""The simulated AWS: moto, plus what it lacks of the services that paydeploy uses.

Path of a request: `server` accepts it, `front` checks identity and signature and applies faults, then moto dispatches it to
the service, which a module here may override (`wiring` replaces moto's classes). Long-running work continues in
`background`, and `control` serves the sandbox's own pages.
"""
