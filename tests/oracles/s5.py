"""S5: x' = Lambda x + B u with complex diagonal Lambda, by zero-order hold; y = Re(C x) + D u.

Smith, Warrington and Linderman 2023, arXiv:2208.04933. Complex numbers are pairs of real ones here, since the complex
step needs the imaginary unit for itself: with lambda = -a + i w, the discretised eigenvalue is exp(-a s) (cos w s +
i sin w s), and the input's factor (that - 1) / lambda.
"""

import numpy as np

from .sequence import Arrays


def forward(params: Arrays, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
    decay = np.exp(params["p.re.decay"])
    frequency, interval = params["p.re.frequency"], np.exp(params["p.re.step"])
    size = np.exp(-decay * interval)
    cosine, sine = size * np.cos(frequency * interval), size * np.sin(frequency * interval)
    square = decay**2 + frequency**2
    # (cosine - 1 + i sine) / (-decay + i frequency), by the conjugate of the divisor.
    factor_re = (-decay * (cosine - 1) + frequency * sine) / square
    factor_im = (-decay * sine - frequency * (cosine - 1)) / square
    re, im, outputs = state["re"], state["im"], []
    for u in x:
        driven_re, driven_im = u @ params["W.re"], u @ params["W.im"]
        re, im = (
            cosine * re - sine * im + factor_re * driven_re - factor_im * driven_im,
            sine * re + cosine * im + factor_im * driven_re + factor_re * driven_im,
        )
        outputs.append(re @ params["R.re"] - im @ params["R.im"] + u @ params["W.skip"])
    return np.stack(outputs), {"y": outputs[-1], "re": re, "im": im}
