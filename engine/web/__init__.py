"""What both HTTP interfaces share: access, errors, bodies, the OpenAPI document and its page."""
