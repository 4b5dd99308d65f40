"""What goes back: replies, the words for errors, the pages and their templates.

Not here: which reply a request gets (check/, signin/, account/).
From outside: every file.
"""
