"""What each section of the page shows, as plain text and numbers; the template only places it."""
