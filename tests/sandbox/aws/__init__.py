"""The sandbox's AWS: moto, with what it lacks of the services that paydeploy uses."""
