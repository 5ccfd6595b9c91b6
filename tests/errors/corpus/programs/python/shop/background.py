"""Work that nobody waits for."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


class StockError(Exception):
    """Not enough on the shelf."""


async def reserve(sku, shelf):
    """Take one from the shelf."""
    await asyncio.sleep(0)
    shelf[sku] -= 1
    return shelf[sku]


async def notify(user, outbox):
    """Queue a mail."""
    await asyncio.sleep(0)
    if len(outbox) > 3:
        raise OverflowError(f"outbox of {user} holds {len(outbox)} mails")
    outbox.append(user)


async def reserve_directly(sku, shelf):
    """One after the other."""
    return await reserve(sku, shelf)


async def reserve_all(skus, shelf):
    """All at once."""
    return await asyncio.gather(*(reserve(sku, shelf) for sku in skus))


async def reserve_in_task(sku, shelf):
    """In a task of its own."""
    task = asyncio.create_task(reserve(sku, shelf))
    return await asyncio.wait_for(task, 5)


async def pack_group(skus, shelf):
    """In a group: several may fail at once."""
    async with asyncio.TaskGroup() as group:
        for sku in skus:
            group.create_task(reserve(sku, shelf))


async def mail_group(users, outbox):
    """Mails in a group."""
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(notify(user, outbox))


def thumbnail(image):
    """A small picture."""
    width, height = image["size"]
    return width // image["scale"], height // image["scale"]


def thumbnails(images):
    """In threads."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(thumbnail, images))
