"""The laptop's cloud: Kafka, BigQuery, MongoDB and Vertex AI, real or compatible, and Prism."""
