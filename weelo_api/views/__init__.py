"""One file per domain: routes, a few lines each. What they do stands in the verbs and the queries."""
