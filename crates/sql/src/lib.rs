//! View SQL to a checked plan: names resolved against the catalog, refusals explained.
