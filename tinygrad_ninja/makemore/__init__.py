"""The lecture's application: data, models, training and sampling."""
