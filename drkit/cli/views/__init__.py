"""How results look: to people in a terminal, to programs as JSON, in a file as Markdown. No decisions here."""
