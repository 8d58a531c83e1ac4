package team.rules

allow if not "admin" in input.tool.arguments.roles # refused: not over a value that may be undefined: give it a name with := first
