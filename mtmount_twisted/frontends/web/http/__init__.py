"""HTTP itself: connections and their bounds, routing, rights, the files of the page. It knows no mount."""
