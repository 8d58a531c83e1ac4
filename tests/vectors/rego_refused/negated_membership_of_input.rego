package team.rules

allow if not input.tool.name in {"delete"} # refused: not over a value that may be undefined: give it a name with := first
