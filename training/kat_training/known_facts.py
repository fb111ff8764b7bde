"""Small closed sets that a model can know: capitals, opposites, commands."""

from __future__ import annotations

from typing import Final

CAPITALS: Final = {
    "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Germany": "Berlin", "Japan": "Tokyo", "China": "Beijing",
    "Egypt": "Cairo", "Greece": "Athens", "Russia": "Moscow", "Austria": "Vienna", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm", "Cuba": "Havana",
    "Peru": "Lima", "Kenya": "Nairobi", "India": "New Delhi", "Canada": "Ottawa", "England": "London",
    "Scotland": "Edinburgh", "Belgium": "Brussels", "Denmark": "Copenhagen", "Finland": "Helsinki",
    "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia", "Serbia": "Belgrade", "Croatia": "Zagreb",
    "Turkey": "Ankara", "Iran": "Tehran", "Iraq": "Baghdad", "Syria": "Damascus", "Lebanon": "Beirut",
    "Jordan": "Amman", "Pakistan": "Islamabad", "Afghanistan": "Kabul", "Nepal": "Kathmandu", "Bangladesh": "Dhaka",
    "Thailand": "Bangkok", "Vietnam": "Hanoi", "South Korea": "Seoul", "Australia": "Canberra",
    "New Zealand": "Wellington", "Mexico": "Mexico City", "Argentina": "Buenos Aires", "Chile": "Santiago",
    "Venezuela": "Caracas", "Ecuador": "Quito", "Jamaica": "Kingston", "Morocco": "Rabat", "Tunisia": "Tunis",
    "Libya": "Tripoli", "Ghana": "Accra", "Senegal": "Dakar", "Iceland": "Reykjavik", "Latvia": "Riga",
    "Estonia": "Tallinn", "Malta": "Valletta",
}  # fmt: skip
CHINESE_CAPITALS: Final = {
    "中国": "北京", "日本": "东京", "法国": "巴黎", "英国": "伦敦", "德国": "柏林", "韩国": "首尔", "意大利": "罗马",
    "俄罗斯": "莫斯科", "埃及": "开罗", "泰国": "曼谷", "越南": "河内", "希腊": "雅典", "印度": "新德里",
    "西班牙": "马德里", "加拿大": "渥太华", "波兰": "华沙", "美国": "华盛顿", "奥地利": "维也纳",
}  # fmt: skip
OPPOSITES: Final = {
    "hot": "cold", "big": "small", "up": "down", "day": "night", "good": "bad", "fast": "slow", "old": "new",
    "left": "right", "open": "closed", "wet": "dry", "long": "short", "hard": "soft", "high": "low", "early": "late",
    "full": "empty", "light": "dark", "rich": "poor", "strong": "weak", "cold": "hot", "down": "up", "night": "day",
    "bad": "good", "slow": "fast", "dry": "wet", "soft": "hard", "low": "high", "late": "early", "empty": "full",
    "dark": "light", "poor": "rich", "weak": "strong", "black": "white", "white": "black", "happy": "sad",
    "young": "old", "clean": "dirty", "dirty": "clean", "thick": "thin", "wide": "narrow", "near": "far",
    "far": "near", "loud": "quiet", "heavy": "light", "deep": "shallow", "north": "south", "south": "north",
    "east": "west", "west": "east", "true": "false", "false": "true", "love": "hate", "buy": "sell", "push": "pull",
    "win": "lose", "inside": "outside", "before": "after", "above": "below", "always": "never", "cheap": "expensive",
}  # fmt: skip
COMMANDS: Final = {
    "list the files of a folder in Linux": ("ls",), "show the current folder in Linux": ("pwd",),
    "create a conda env named demo": ("conda create -n demo", "conda create --name demo"),
    "activate the conda env demo": ("conda activate demo",),
    "list all conda envs": ("conda env list", "conda info --envs"),
    "show the state of a git repository": ("git status",), "list git branches": ("git branch",),
    "fetch and merge with git": ("git pull",), "show git history": ("git log",),
    "install numpy with pip": ("pip install numpy",), "list docker containers": ("docker ps", "docker container ls"),
    "list Kubernetes pods": ("kubectl get pods", "kubectl get pod"), "delete the file a.txt in Linux": ("rm a.txt",),
    "copy a.txt to b.txt in Linux": ("cp a.txt b.txt",), "make a folder named new in Linux": ("mkdir new",),
    "show free disk space in Linux": ("df -h", "df"), "rename a.txt to b.txt in Linux": ("mv a.txt b.txt",),
    "go up one folder in Linux": ("cd ..",), "show the contents of a.txt in Linux": ("cat a.txt",),
    "clear the terminal screen in Linux": ("clear",), "show my user name in Linux": ("whoami",),
    "make an empty file a.txt in Linux": ("touch a.txt",), "show the date in Linux": ("date",),
    "count the lines of a.txt in Linux": ("wc -l a.txt",), "show the first lines of a.txt in Linux": ("head a.txt",),
    "show the last lines of a.txt in Linux": ("tail a.txt",), "sort the lines of a.txt in Linux": ("sort a.txt",),
    "start a new git repository here": ("git init",), "stage all changes with git": ("git add .", "git add -A"),
    "upload commits with git": ("git push",), "see unstaged changes with git": ("git diff",),
    "switch to the git branch dev": ("git checkout dev", "git switch dev"),
    "list docker images": ("docker images", "docker image ls"),
    "list Kubernetes nodes": ("kubectl get nodes", "kubectl get node"),
    "list Kubernetes services": ("kubectl get services", "kubectl get svc", "kubectl get service"),
    "list installed Python packages with pip": ("pip list", "pip freeze"),
    "remove numpy with pip": ("pip uninstall numpy",), "leave the conda env": ("conda deactivate",),
    "show the Python version": ("python --version", "python -V", "python3 --version"),
    "run the script a.py with Python": ("python a.py", "python3 a.py"),
}  # fmt: skip
"""From a wish, as it stands behind "to", to the usual command and others that do the same."""
CHINESE_COMMANDS: Final = {
    "列出文件": ("ls",), "看当前目录": ("pwd",), "看 git 状态": ("git status",), "看 git 历史": ("git log",),
    "列出容器": ("docker ps",), "列出 pod": ("kubectl get pods", "kubectl get pod"),
    "激活环境 demo": ("conda activate demo",), "看 git 分支": ("git branch",), "拉取 git 更新": ("git pull",),
    "推送 git 提交": ("git push",), "列出镜像": ("docker images", "docker image ls"),
    "列出 conda 环境": ("conda env list", "conda info --envs"), "安装 numpy": ("pip install numpy",),
    "删除文件 a.txt": ("rm a.txt",), "新建目录 new": ("mkdir new",), "看文件 a.txt 的内容": ("cat a.txt",),
    "看磁盘空间": ("df -h", "df"), "运行 a.py": ("python a.py", "python3 a.py"), "返回上级目录": ("cd ..",),
    "清屏": ("clear",),
}  # fmt: skip
