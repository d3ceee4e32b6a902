"""Chinese: the words and phrasings of `english` in Mandarin, under the same keys."""

from seesay.scenes.tongue import Tongue, bound, checked, phrases
from seesay.scenes.view import COLOUR, SHAPE, SIZE, TEXTURE, Look

SHAPES = ("圆形", "正方形", "三角形", "菱形", "五角星", "十字", "心形", "圆环")
COLOURS = ("红色", "绿色", "蓝色", "黄色", "紫色", "橙色", "粉色", "青色")
SIZES = ("小", "大")
TEXTURES = ("纯色", "条纹", "波点")
BACKGROUNDS = ("白色", "灰色", "黑色", "米色")
PLACES = ("左上角", "上边", "右上角", "左边", "中间", "右边", "左下角", "下边", "右下角")
RELATIONS = ("左侧", "右侧", "上方", "下方", "前面", "后面")
NUMBERS = ("零", "一", "二", "三", "四", "五", "六")
COUNTED = ("零个", "一个", "两个", "三个", "四个", "五个", "六个")
THING = "东西"


def phrase(attributes: int, look: Look) -> str:
    """小圆形, 小的条纹红色圆形, 红色的东西: the particle where Mandarin wants it."""
    adjectives = ""
    if attributes & 8:
        adjectives += TEXTURES[look[TEXTURE]]
    if attributes & 2:
        adjectives += COLOURS[look[COLOUR]]
    noun = SHAPES[look[SHAPE]] if attributes & 1 else THING
    if adjectives and not attributes & 1:
        adjectives += "的"
    if attributes & 4:
        adjectives = SIZES[look[SIZE]] + ("的" if adjectives else "") + adjectives
    return adjectives + noun


_PHRASES = phrases(phrase)
_PREDICATES = (
    SHAPES,
    tuple(f"{colour}的" for colour in COLOURS),
    tuple(f"{size}的" for size in SIZES),
    tuple(f"{texture}的" for texture in TEXTURES),
)

PROMPTS = {
    "list": ("",),
    "place": ("说说什么在哪里", "说出每个东西和它的位置"),
    "size": ("说出每个东西和它的大小", "按大小描述这些东西"),
    "texture": ("说出每个东西和它的花纹", "按花纹描述这些东西"),
    "detail": ("详细描述每个东西", "详细描述这张图"),
    "count": ("数一数有几个东西并说出它们", "一共有几个东西，分别是什么"),
    "relation": ("说说两个东西的位置关系", "比较两个东西的位置"),
    "motion": ("", "说说发生了什么", "描述每个东西的变化"),
}

TEMPLATES = {
    "caption_place": ("{1}有{0}",),
    "caption_at": ("{1}的{0}",),
    "caption_detail": ("{1}背景上有{0}",),
    "caption_one": ("一个东西：{0}",),
    "caption_count": ("{1}东西：{0}",),
    "caption_relation": ("{0}在{2}的{1}",),
    "caption_alone": ("只有{0}",),
    "film_stays": ("{0}不动",),
    "film_moves": ("{0}{1}移动",),
    "film_appears": ("{0}出现",),
    "film_leaves": ("{0}消失",),
    "film_changes": ("{0}变成{1}",),
    "film_nears": ("{0}靠近{1}",),
    "film_hits": ("{0}碰到{1}",),
    "exist": ("有{0}吗", "能看到{0}吗", "图里有{0}吗"),
    "count": ("有几个{0}", "数一数{0}有几个", "能看到几个{0}"),
    "query": ("{0}的{1}是什么", "说出{0}的{1}", "{0}是什么{1}"),
    "query_place": ("{0}的东西是什么{1}", "说出{0}的东西的{1}"),
    "where": ("{0}在哪里", "{0}在图的哪个部分"),
    "relation": ("{0}在{2}的{1}吗", "{0}是在{2}的{1}吗"),
    "more": ("{0}比{1}多吗",),
    "fewer": ("{0}比{1}少吗",),
    "as_many": ("{0}和{1}一样多吗",),
    "more_fewer": ("{0}比{1}多还是少", "{0}和{1}比，是多还是少"),
    "same": ("{0}和{1}的{2}一样吗", "{0}和{1}{2}相同吗"),
    "bigger": ("{0}比{1}大吗",),
    "smaller": ("{0}比{1}小吗",),
    "same_query": ("和{0}{1}相同的另一个东西是什么{2}", "说出和{0}{1}相同的另一个东西的{2}"),
    "same_count": ("还有几个东西和{0}{1}相同", "另外有几个东西的{1}和{0}一样"),
    "or_count": ("有几个东西是{0}或{1}", "数一数有几个东西是{0}或{1}"),
    "but_not": ("有没有东西是{0}但不是{1}",),
    "both": ("同时有{0}和{1}吗", "能同时看到{0}和{1}吗"),
    "either": ("有{0}或者{1}吗", "能看到{0}或者{1}吗"),
    "every": ("每个{0}都是{1}吗",),
    "chain_query": ("{2}{1}的{0}是什么{3}", "说出{2}{1}的{0}的{3}"),
    "chain_count": ("{2}{1}有几个{0}", "数一数{2}{1}的{0}"),
    "chain_exist": ("{2}{1}有{0}吗", "能看到{2}{1}有{0}吗"),
    "chain_noun": ("{2}{1}的{0}",),
    "direction": ("{0}往哪边移动", "{0}朝哪个方向移动"),
    "heading": ("{0}往{1}移动吗",),
    "moving": ("{0}移动吗", "{0}在动吗"),
    "count_moving": ("有几个东西在移动", "数一数移动的东西"),
    "becomes": ("{0}变成了什么颜色", "{0}最后是什么颜色"),
    "was": ("{0}一开始是什么颜色", "{0}原来是什么颜色"),
    "event": ("{0}怎么了", "{0}发生了什么"),
    "appears_first": ("{0}和{1}哪个先出现", "先出现的是{0}还是{1}"),
    "leaves_first": ("{0}和{1}哪个先消失", "先消失的是{0}还是{1}"),
    "changes_first": ("{0}和{1}哪个先变色", "先变色的是{0}还是{1}"),
    "touch": ("{0}和{1}碰到了吗", "{0}碰到{1}了吗"),
    "begins_at": ("{0}一开始在哪里", "{0}从哪里开始"),
    "ends_at": ("{0}最后在哪里", "{0}到哪里结束"),
    "ground": ("框出{0}", "给{0}画个框", "用框标出{0}"),
    "refer": ("找到{0}", "指出{0}", "定位{0}"),
    "statement": ("判断对错：{0}", "对还是错：{0}"),
    "state_exist": ("有{0}",),
    "state_one": ("有一个{0}",),
    "state_count": ("有{1}{0}",),
    "state_is": ("{0}是{1}",),
    "state_at": ("{0}在{1}",),
    "state_relation": ("{0}在{2}的{1}",),
}

TONGUE = checked(
    Tongue(
        name="zh",
        one=_PHRASES,
        a=_PHRASES,
        the=_PHRASES,
        many=_PHRASES,
        singular=_PREDICATES,
        plural=_PREDICATES,
        values=(SHAPES, COLOURS, SIZES, TEXTURES),
        attributes=("形状", "颜色", "大小", "花纹"),
        places=PLACES,
        at=PLACES,
        relations=RELATIONS,
        numbers=NUMBERS,
        counted=COUNTED,
        backgrounds=BACKGROUNDS,
        yes_no=("是", "否"),
        true_false=("对", "错"),
        more_fewer_same=("多", "少", "一样多"),
        headings=("左", "右", "上", "下", "左上", "右上", "左下", "右下"),
        paths=("从右到左", "从左到右", "从下到上", "从上到下",
               "从右下到左上", "从左下到右上", "从右上到左下", "从左上到右下"),
        events=("不动", "移动", "出现", "消失", "变色"),
        comma="、",
        last="和",
        clause="，",
        exists="有",
        prompts=PROMPTS,
        templates=bound(TEMPLATES),
    )
)
