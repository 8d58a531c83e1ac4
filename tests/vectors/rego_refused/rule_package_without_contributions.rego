package scopegate.rules.amounts # refused: a rule's package defines contributions

contribution contains {"action": "deny"}
