package team.rules

allow if regex.match(`(?i)pay`, input.request.path) # refused: pattern holds a group with options
