"""Tools of servers that speak the Model Context Protocol, beside those over plain HTTP."""
