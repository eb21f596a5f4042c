"""The screen itself: what would be amiss on a page is found, each thing for itself."""

from __future__ import annotations

import pytest

from tests.flows.pages.conftest import NARROW, Screen

SOUND = "<title>x</title><main><h1>Who said yes</h1><p>Nobody yet.</p></main>"
PLANTED = {
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    "color-contrast": '<p style="color: #ccc; background: #fff">hardly there</p>',
    "label": "<input>",
    "target-size": "<style>button { padding: 0; border: 0; width: 9px; height: 9px }</style>"
    + '<nav><button aria-label="a">a</button><button aria-label="b">b</button></nav>',
    "elsewhere: ": '<script>fetch("http://127.0.0.2:9/").catch(() => 0)</script>',
    "it is broken": "<script>throw Error('it is broken')</script>",
    "said": "<script>console.error('said')</script>",
    "<= 0": '<div style="width: 400px">wide</div>',
}


@pytest.mark.parametrize("look", [NARROW], indirect=True, ids=str)
async def test_a_page_is_sound_until_something_is_planted_in_it(screen: Screen) -> None:
    for found, planted in {"": "", **PLANTED}.items():
        await screen.show(f'<!doctype html><html lang="en">{SOUND.replace("</main>", planted + "</main>")}</html>')
        if not planted:
            await screen.must_be_sound()
            continue
        with pytest.raises(AssertionError) as failed:
            await screen.must_be_sound()
        assert found in str(failed.value), planted
