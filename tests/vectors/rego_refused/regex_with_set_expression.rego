package team.rules

allow if regex.match(`[a-z&&b]`, input.request.path) # refused: pattern holds a class that is a set expression to one engine
