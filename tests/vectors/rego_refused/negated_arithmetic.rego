package team.rules

allow if not input.tool.arguments.a + 1 # refused: not is for a reference, a call or `in`
