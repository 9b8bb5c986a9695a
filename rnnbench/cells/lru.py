"""Linear recurrent unit: a complex diagonal recurrence inside the unit circle, read out by a complex matrix.

``p.re`` and ``p.im`` are the eigenvalues, trained as modulus and angle. The paper's skip connection D u has an own
projection here, since the input need not have the size of the state.

Orvieto et al. 2023, arXiv:2303.06349, section 3 and appendix A.
"""

from rnnbench.lang import cell


@cell(states="y re im", structures={"p.re p.im p.gamma": "stable_polar"})
def lru(x, R, p, re, im):
    real = p.re * re - p.im * im + p.gamma * x.re
    imaginary = p.re * im + p.im * re + p.gamma * x.im
    return R.re(real) - R.im(imaginary) + x.skip, real, imaginary
