package team.rules

allow if regex.match(`\d+`, input.request.path) # refused: pattern holds an escape like \d, write a class like [0-9]
