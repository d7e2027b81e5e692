"""Where all state that matters lives: a few verbs over records with revisions, and what carries them out."""
