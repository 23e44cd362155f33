"""The checks, one to a module; `echo.probe.table` lists them."""
