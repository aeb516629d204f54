"""Pictures of faces that `fer-edge collect` stores on request, for the owner's own training: the folder, and what fills it."""
