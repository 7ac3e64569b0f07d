"""One module per API: its docstring gives versions, behaviour and what it leaves out; it registers itself."""
