package team.rules

allow if input.request.access == ] # refused: expecting expression
