"""The way to Azure: the only package that imports ``azure.*``. ``session.Session`` is the door."""
