package team.rules

allow if data[input.tool.name].sure # refused: reference to data, which does not exist | rule allow needs itself, or a variable has its name
