"""Code for several test modules: users, systems under test, servers, proxies, waiting, tokens.

No test module imports another one, so shared code belongs here.
"""
