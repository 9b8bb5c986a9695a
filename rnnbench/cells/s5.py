"""Simplified state space layer: a continuous complex diagonal system with a step size of its own for each state.

``p.re`` and ``p.im`` are the discretised eigenvalues, ``p.gain_re`` and ``p.gain_im`` what the input is multiplied by;
all follow from decay, frequency and step. The paper's D u is an own projection, since the input need not have the size
of the state. The paper's layer adds an activation after it.

Smith, Warrington and Linderman 2023, arXiv:2208.04933, section 3 and appendix B; zero-order hold.
"""

from rnnbench.lang import cell


@cell(states="y re im", structures={"p.re p.im p.gain_re p.gain_im": "zero_order_hold"})
def s5(x, R, p, re, im):
    real = p.re * re - p.im * im + p.gain_re * x.re - p.gain_im * x.im
    imaginary = p.re * im + p.im * re + p.gain_re * x.im + p.gain_im * x.re
    return R.re(real) - R.im(imaginary) + x.skip, real, imaginary
