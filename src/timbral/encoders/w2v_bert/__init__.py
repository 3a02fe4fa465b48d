"""w2v-BERT 2.0 (Barrault et al., Seamless: Multilingual Expressive and Streaming Speech
Translation, 2023, section 3.2.1) as a speaker encoder."""
