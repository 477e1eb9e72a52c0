"""A path between two points that stays close to the data.

The principal path of M. J. Ferrarotti, W. Rocchia, S. Decherchi, "Finding principal paths in data space", IEEE
Transactions on Neural Networks and Learning Systems, 2019: k-means whose waypoints w_0 ... w_{n+1} are chained between
two fixed ends. It minimises

    sum_i ||x_i - w_c(i)||^2  +  s * sum_j ||w_{j+1} - w_j||^2

with c(i) the waypoint nearest to x_i. A large s gives a straight line of even steps, s = 0 plain k-means.
"""

import math
from collections.abc import Sequence

import numpy as np

WAYPOINTS = 50  # besides the two ends
# The regulariser s, from stiff to free; each path starts from the one before.
STIFFNESS = (*np.logspace(5, -5, 50), 0.0)
MAX_ROUNDS = 200  # of assignment and solution; tens are usual
MOST_LANDMARKS = 2000  # points that the shortest path may visit: the distances between all of them are kept in memory


def find(points: np.ndarray, start: int, end: int, waypoints: int = WAYPOINTS) -> np.ndarray:
    """Find the principal path between two of the points.

    Parameters
    ----------
    points : numpy.ndarray of float, shape (N, D)
    start, end : int
        Two different rows of `points`.
    waypoints : int
        Number of waypoints between the ends.

    Returns
    -------
    numpy.ndarray of float64, shape (waypoints + 2, D)
        The first and the last are the two points. It is the path whose stiffness is at the `elbow`.
    """
    points = np.asarray(points, np.float64)
    visited = points[shortest(points, start, end)]
    path = resample(visited, waypoints + 2)
    corridor = near(points, path, longest_step=steps(visited).max())
    corridor[[start, end]] = False  # they are waypoints already
    paths = []
    for stiffness in STIFFNESS:
        path = relax(path, points[corridor], stiffness)
        paths.append(path)
    return paths[elbow([steps(path).var() for path in paths])]


def shortest(points: np.ndarray, start: int, end: int) -> list[int]:
    """Find the rows of the cheapest path over points, where a step costs its length squared.

    So it has many short steps and no long one. Of many points, only every k-th row can be visited.
    """
    from scipy.sparse.csgraph import dijkstra

    every = math.ceil(len(points) / MOST_LANDMARKS)
    rows = np.unique([*range(0, len(points), every), start, end])
    costs = squared_distances(points[rows], points[rows])
    # For scipy, a cost of 0 means that two points are not joined; equal points must be.
    costs = np.maximum(costs, np.finfo(float).eps * costs.max())
    first, last = np.searchsorted(rows, [start, end])
    _, before = dijkstra(costs, indices=first, return_predecessors=True)
    path = [last]
    while path[-1] != first:
        path.append(before[path[-1]])
    return [int(row) for row in rows[path[::-1]]]


def resample(line: np.ndarray, count: int) -> np.ndarray:
    """Return evenly spaced points on a line through two or more points: shape (count, D), with the same ends."""
    line = np.asarray(line, np.float64)
    positions = np.concatenate([[0], np.cumsum(steps(line))])
    wanted = np.linspace(0, positions[-1], count)
    return np.stack([np.interp(wanted, positions, column) for column in line.T], axis=1)


def near(points: np.ndarray, path: np.ndarray, longest_step: float) -> np.ndarray:
    """Return a mask of the points that are no further from a path than `longest_step`.

    Other points would draw the stiff first paths into another part of the space; the paper filters the data
    for the same reason.
    """
    return squared_distances(points, path).min(axis=1) <= longest_step**2


def relax(path: np.ndarray, points: np.ndarray, stiffness: float) -> np.ndarray:
    """Minimise the sum above, starting from a path whose ends are kept; `stiffness` is s.

    In turns, each point is assigned to its nearest waypoint, and `solve` moves the waypoints.
    """
    nearest = None
    for _ in range(MAX_ROUNDS):
        before, nearest = nearest, squared_distances(points, path).argmin(axis=1)
        if before is not None and (before == nearest).all():
            break
        path = solve(path, points, nearest, stiffness)
    return path


def solve(path: np.ndarray, points: np.ndarray, nearest: np.ndarray, stiffness: float) -> np.ndarray:
    """Compute the best inner waypoints for an assignment: the zeros of the derivative of the sum above.

    (n_j + 2 s) w_j - s w_{j-1} - s w_{j+1} = sum of the n_j points of waypoint j, a tridiagonal system.
    """
    from scipy.linalg import solveh_banded

    counts = np.bincount(nearest, minlength=len(path))[1:-1].astype(float)
    sums = np.zeros_like(path)
    np.add.at(sums, nearest, points)
    sums = sums[1:-1]
    if stiffness == 0:  # a waypoint without points is then free: it stays where it is
        sums[counts == 0] = path[1:-1][counts == 0]
        counts[counts == 0] = 1
    sums[0] += stiffness * path[0]
    sums[-1] += stiffness * path[-1]
    bands = np.zeros((2, len(sums)))
    bands[0, 1:] = -stiffness
    bands[1] = counts + 2 * stiffness
    return np.vstack([path[:1], solveh_banded(bands, sums), path[-1:]])


def elbow(unevenness: Sequence[float]) -> int:
    """Find the stiffness below which the steps become uneven, by the variance of their lengths for each of `STIFFNESS`.

    It is the position of the value furthest below the straight line from the first to the last. The stiffness is on a
    logarithmic scale; on a linear one all elbows would be in the corner.
    """
    values = np.asarray(unevenness, float)
    return int(np.argmax(np.linspace(values[0], values[-1], len(values)) - values))


def steps(path: np.ndarray) -> np.ndarray:
    """Compute the lengths of the steps between neighbouring waypoints, shape (M - 1,)."""
    return np.linalg.norm(np.diff(path, axis=0), axis=1)


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute squared Euclidean distances, shape (len(a), len(b)), never below 0."""
    products = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
    return np.maximum(products, 0)
