package team.rules

allow if data.team[input.tool.name].allow # refused: rule allow needs itself, or a variable has its name
