"""MCP servers as tests meet them, made with the `mcp` package's own server, over HTTP and as a process."""
