"""WavLM (Chen et al., WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech
Processing, 2022) with the x-vector head of transformers' ``WavLMForXVector``."""
