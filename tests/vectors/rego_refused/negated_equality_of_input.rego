package team.rules

allow if not input.tool.name == "delete" # refused: not over a comparison is true for values of the wrong type: compare the other way
