package team.rules

allow if count(numbers.range(0, input.tool.arguments.n)) == 5 # refused: function numbers.range is not allowed
