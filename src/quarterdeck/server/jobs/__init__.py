"""Commands and their jobs: asked, offered, carried to one result each, followed; and schedules, which ask by time."""
