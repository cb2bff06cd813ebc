"""Import every module of bootstrap-vz through the upstream layer, and print their number."""

import importlib
import pkgutil

from bootstrapvz_sparse import upstream

if __name__ == "__main__":
    assert upstream.install() and upstream.install()
    import bootstrapvz

    names = [module.name for module in pkgutil.walk_packages(bootstrapvz.__path__, "bootstrapvz.")]
    for name in names:
        importlib.import_module(name)
    print(len(names))
