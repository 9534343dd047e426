"""Which names no checkpoint of weights has a reason for.

They would do nothing here if they weren't listed, as any name that isn't in the table of
`functions`; a file with one is refused so that its owner learns what it is.
"""

RUNS_CODE = {
    # Processes and threads
    *("_posixsubprocess", "_thread", "_winapi", "asyncio", "commands", "multiprocessing", "nt"),
    *("os", "popen2", "posix", "pty", "signal", "subprocess", "thread", "threading"),
    # Python's own machinery
    *("__builtin__", "_operator", "bdb", "builtins", "code", "codeop", "doctest", "functools"),
    *("operator", "pdb", "profile", "pydoc", "runpy", "sys", "timeit", "trace", "types"),
    # Modules and libraries
    *("_ctypes", "cffi", "ctypes", "ensurepip", "idlelib", "imp", "importlib", "lib2to3"),
    *("numpy.f2py", "numpy.testing", "pip", "pkgutil", "site", "torch.hub", "torch.jit"),
    *("torch.package", "torch.utils.cpp_extension", "venv", "zipimport"),
    # Pickles in pickles
    *("_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "numpy.load", "pickle"),
    *("torch.load", "torch.serialization.load"),
    # Files and the network
    *("_io.open", "aiohttp", "ftplib", "http", "httplib", "io.open", "requests", "shutil"),
    *("smtplib", "socket", "socketserver", "ssl", "telnetlib", "tempfile", "urllib", "urllib2"),
    *("webbrowser", "xmlrpc"),
}
# `getattr` is in the logs (HistoryBuffer) of every checkpoint of MMEngine.
HARMLESS_BUILTINS = {
    *("Ellipsis", "NotImplemented", "bool", "dict", "float", "getattr", "int", "list", "long"),
    *("object", "range", "slice", "str", "tuple", "type", "unicode", "xrange"),
}
HARMLESS = {f"builtins.{name}" for name in HARMLESS_BUILTINS} | {
    "functools.partial",
    "types.SimpleNamespace",
}


def runs_code(name: str) -> bool:
    """Whether this is in RUNS_CODE or in one of its modules, and not HARMLESS.

    >>> runs_code("os.path.join"), runs_code("torch.loader"), runs_code("builtins.int")
    (True, False, False)
    """
    parts = name.split(".")
    within = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return name not in HARMLESS and any(outer in RUNS_CODE for outer in within)
