"""A perceptual study: can people tell generated pictures from real ones?"""
