"""Builds the add-ons' images and pushes them to a registry.

Usage: build.py TOOLS REGISTRY. tests/setup runs it with a registry on loopback that stores its data in TOOLS/registry, and
passes the versions of tests/setup.d/versions.sh in the environment.

A layer that several images share is written and hashed once (`sealed`, by object identity).
"""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import recipes
from registry import Registry


@dataclass
class Places:
    tools: Path

    @property
    def work(self):
        return self.tools / "work/images"

    @property
    def ca(self):
        return self.tools / "ca/ca.crt"

    @property
    def controller(self):
        return Path(__file__).parent.parent / "lb_controller.py"

    def binary(self, name):
        return self.tools / "bin" / name

    def source(self, name):
        return self.tools / "sources" / name


def configuration(image, layers):
    return {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": {
            "Entrypoint": image.entrypoint,
            "Env": [recipes.PATH, *image.environment],
            "User": image.user,
            "WorkingDir": image.folder,
        },
        "rootfs": {"type": "layers", "diff_ids": [descriptor["digest"] for descriptor, _ in layers]},
    }


def main():
    places = Places(Path(sys.argv[1]))
    registry = Registry(sys.argv[2])
    places.work.mkdir(parents=True, exist_ok=True)
    sealed = {}
    for image in recipes.all_images(places, os.environ):
        layers = []
        for layer in image.layers:
            if id(layer) not in sealed:
                sealed[id(layer)] = layer.seal(places.work)
            layers.append(sealed[id(layer)])
        digest = registry.publish(image.repository, image.tags, configuration(image, layers), layers)
        size = sum(descriptor["size"] for descriptor, _ in layers)
        for tag in image.tags:
            print(f"{image.repository}:{tag} {digest} {size / 1e6:.0f} MB")
    shutil.rmtree(places.work)


if __name__ == "__main__":
    main()
