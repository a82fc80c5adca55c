"""Any commands of the served schema, in any order, with any arguments, against the server."""
