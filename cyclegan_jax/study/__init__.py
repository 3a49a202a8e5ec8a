"""A perceptual study: can people distinguish generated images from real ones?"""
