"""The prediction server: Vertex AI's custom-container contract, here and in the cloud alike."""
