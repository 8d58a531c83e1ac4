package scopegate.rules.team.amounts # refused: a rule's package is scopegate.rules.<name>

contributions contains {"action": "allow"}
