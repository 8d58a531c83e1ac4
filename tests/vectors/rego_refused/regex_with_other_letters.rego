package team.rules

allow if regex.match(`é`, input.request.path) # refused: pattern holds characters beyond ASCII
