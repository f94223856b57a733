# Copyright 2026 moss_ros developers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""
Which modules of a package import which, by what is written in them.

Sources in, a graph and its circles out. An import inside of a function or for type checkers
counts as any other.
"""

import ast
from collections import deque


def import_graph(sources):
    """
    Return the names of the modules that each module imports.

    sources: text by dotted name; that of a package ends in '.__init__'. A name that a package
    passes on counts as an import of the module that defines it, where that can be found out, and
    of the package itself otherwise.
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    return {
        name: {module for base, item in _imports(name, tree)
               if (module := _module_of(base, item, trees)) is not None}
        for name, tree in trees.items()}


def circles(graph):
    """Return the shortest circle through each module that lies on one, none of them twice."""
    found, seen = [], set()
    for name in sorted(graph):
        circle = None if name in seen else _shortest_circle(graph, name)
        if circle is not None:
            found.append(circle)
            seen.update(circle)
    return found


def _imports(name, tree):
    """Yield (module, name taken from it or None) for each import of the module name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base_of(name, node)
            yield from ((base, alias.name) for alias in node.names)


def _base_of(name, node):
    parents = name.split('.')
    parents = parents[:len(parents) - node.level] if node.level else []
    return '.'.join([*parents, *filter(None, [node.module])])


def _module_of(base, item, trees, passed=()):
    """Return the module that has the item, or is it; None for what is none of trees."""
    whole = base if item is None else f'{base}.{item}'
    for name in (whole, f'{whole}.__init__'):
        if name in trees:
            return name
    package = f'{base}.__init__'
    if package not in trees:
        return base if base in trees else None
    for node in trees[package].body:
        if isinstance(node, ast.ImportFrom) and (package, item) not in passed:
            for alias in node.names:
                if (alias.asname or alias.name) == item:
                    return _module_of(_base_of(package, node), alias.name, trees,
                                      (*passed, (package, item))) or package
    return package


def _shortest_circle(graph, start):
    before = {}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for other in sorted(graph.get(name, ())):
            if other == start:
                path = [name]
                while path[-1] != start:
                    path.append(before[path[-1]])
                return path[::-1]
            if other not in before:
                before[other] = name
                waiting.append(other)
    return None
