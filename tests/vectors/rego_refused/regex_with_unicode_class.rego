package team.rules

allow if regex.match(`\p{Greek}`, input.request.path) # refused: pattern holds an escape like \d, write a class like [0-9]
